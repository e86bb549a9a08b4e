"""Where the server listens: addresses, connections, certificates, the local network."""
