"""Tags of an object, copied from central."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from neutron.db.models import tag as tag_model
from neutron.objects import tag as tag_object
from neutron_lib.db import api as db_api


def ensure(context: Any, model: Any, state: Mapping[str, Any], *, keep_existing: bool) -> None:
    """Update an object's tags to what central has; do nothing where the state has no tags.

    Args:
        context: an administrator's, with no transaction open.
        model: Neutron's row of objects of its type.
        state: the object as central's API shows it.
        keep_existing: whether to leave an object alone that has tags already.
    """
    if "tags" not in state:
        return
    wanted = set(state["tags"])
    with db_api.CONTEXT_WRITER.using(context) as session:
        attribute_id = session.execute(
            sa.select(model.standard_attr_id).where(model.id == state["id"])
        ).scalar()
        if attribute_id is None:
            return
        have = set(
            session.execute(
                sa.select(tag_model.Tag.tag).where(tag_model.Tag.standard_attr_id == attribute_id)
            ).scalars()
        )
        if keep_existing and have:
            return
        if have - wanted:
            tag_object.Tag.delete_objects(
                context, standard_attr_id=attribute_id, tag=sorted(have - wanted)
            )
        for tag in sorted(wanted - have):
            tag_object.Tag(context, standard_attr_id=attribute_id, tag=tag).create()
