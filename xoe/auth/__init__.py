"""Who may come in: identities, accounts, sessions, invitations."""
