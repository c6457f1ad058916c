"""Who somebody is to Keystone, as an operator writes it down.

A plain word is the *id* of a user: another one made under the same name is somebody else.
`DOMAIN_ID/NAME` is a name in a domain, for those who cannot know ids beforehand; then whoever may
make users in that domain decides who it is.
"""

from dataclasses import dataclass

#: Between a domain's id and a name; ids have none.
_SEPARATOR = "/"
#: Keystone's domain where a token says none.
_DEFAULT_DOMAIN = "default"


@dataclass(frozen=True, slots=True)
class Caller:
    """The user whose token came with a call."""

    user_id: str
    user_name: str
    domain_id: str

    @property
    def spellings(self) -> tuple[str, ...]:
        """List the ways in which an operator may have written this user down."""
        named = f"{self.domain_id or _DEFAULT_DOMAIN}{_SEPARATOR}{self.user_name}"
        return tuple(
            one for one, known in ((self.user_id, self.user_id), (named, self.user_name)) if known
        )

    def is_written(self, principal: str) -> bool:
        """Tell whether this is the user that an operator wrote down."""
        return bool(principal) and principal in self.spellings
