"""The perceptual metric and, later, the learned codec: pure PyTorch, no Django.

Empty of features still: the metric is trained on judgments, and those come first.
"""
