"""The model files: the list of them, and the code that fetches and checks them."""
