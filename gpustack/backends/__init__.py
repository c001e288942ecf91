"""The backends: who executes a recipe on a band of samples."""
