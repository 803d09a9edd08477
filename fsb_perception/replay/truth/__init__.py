"""Truth about the people in a recording, to judge answers by.

statements           one statement: of which faces, at which time, what is true
files                truth from .jsonl, .csv, or a bag with boxes drawn over its images
tables               the lines of such text files, each with its place for errors
annotations          statements from drawn boxes and the texts at them
annotation_messages  the messages of such drawings, from a bag
"""
