"""The nouns: frozen dataclasses, enums and NewTypes; standard library only."""
