"""The pages: for readers, and the console for operators."""
