"""The ledger: each claim of the study as data. To add a claim is to add an entry.

A claim has contrasts of networks, each in a metric (`segnb.claims.metrics`); `segnb.claims.decide` weighs
them. Sentences are the study's, in our words.
"""

from segnb.claims.claim import Claim
from segnb.claims.ledger.audit import AUDIT_CLAIMS
from segnb.claims.ledger.fcn import FCN_CLAIMS
from segnb.claims.ledger.unet import UNET_CLAIMS

LEDGER: dict[str, Claim] = {claim.id: claim for claim in FCN_CLAIMS + UNET_CLAIMS + AUDIT_CLAIMS}
