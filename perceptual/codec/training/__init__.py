"""Training the codec on photographs."""
