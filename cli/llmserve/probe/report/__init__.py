"""What a run found, as one plain record, and the forms in which it is shown."""
