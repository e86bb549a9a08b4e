"""State that outlives a request: Redis and the chats' history in it."""
