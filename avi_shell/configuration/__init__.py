"""The configuration: objects, the rules between them, the store, and the plan compiled from them."""
