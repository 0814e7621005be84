"""Trainings of the learned codec as their folders tell of them: what is written there, and pages.

There is no database in it: a folder that is put where CLOSER_CODEC_TRAININGS says is on the pages.
"""
