"""Pictures from and to files, messages and encodings; sources of pictures; annotation."""
