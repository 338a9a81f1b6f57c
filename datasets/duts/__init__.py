"""DUTS-TR and DUTS-TE."""
