"""QoS policies at central: they go where ports and networks that have them are."""

from neutron.db import rbac_db_models as rbac
from neutron.db.qos import models

from isthmus.model.resource import ResourceType
from isthmus.neutron.api import carried as fate
from isthmus.neutron.central.outgoing.change import Part
from isthmus.neutron.central.resource.row import CentralResource, bring_mapped, tell_mapped

_POLICY = ResourceType.QOS_POLICY
_RULE = Part("qos_policy_id")


QOS_POLICY = CentralResource(
    kind=_POLICY,
    model=models.QosPolicy,
    parts={
        models.QosPolicy: Part(),
        models.QosBandwidthLimitRule: _RULE,
        models.QosDscpMarkingRule: _RULE,
        models.QosMinimumBandwidthRule: _RULE,
        models.QosMinimumPacketRateRule: _RULE,
        models.QosPacketRateLimitRule: _RULE,
        rbac.QosPolicyRBAC: Part("object_id"),
    },
    attributes={
        "policies": {
            **fate.STANDARD,
            "name": fate.CARRIED,
            "rules": fate.CARRIED,
            "shared": fate.own("carried as the sharing rules (RBAC) that it stands for"),
            "is_default": fate.CENTRAL_ALONE,
        },
    },
    tell=tell_mapped(_POLICY),
    tells_of=(_POLICY,),
    rbac=rbac.QosPolicyRBAC,
    bring=bring_mapped(_POLICY),
)
