"""The page: what stands between Chainlit's callbacks in ``app.py`` and the services."""
