"""Sample recordings with exact truth, to try the replay without a robot.

bag             draws the people of a sample into a bag, and writes the truth beside it
people          the people of a sample: those whose photographs ship with FSB
photos          people from one's own photographs
photo_labels    the table of what is true of those photographs
rendered        people of a body model, with exact gender, age and expression
rendered_heads  a picture of a head from its mesh
"""
