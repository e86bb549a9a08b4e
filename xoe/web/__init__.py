"""All HTTP that is not Chainlit's: what stands round each request, the routes, and the forms."""
