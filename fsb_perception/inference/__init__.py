"""The encoder at work: the engine, faster forms of the model, and the hardware that runs it."""
