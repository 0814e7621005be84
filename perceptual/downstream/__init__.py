"""What machines see in pictures: detectors, segmenters, and the labelled pictures that they are
tried on. No Django: a notebook can import it alone.

A model takes pixels (H, W, 3), uint8, sRGB, and answers in the picture's own pixels; see `models`.
"""
