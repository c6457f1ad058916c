"""Changes at central become intents."""
