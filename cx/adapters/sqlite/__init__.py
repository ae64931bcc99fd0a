"""Intent, history, deliveries and what was announced, in one SQLite file. What can be observed is not stored."""

from cx.adapters.sqlite.database import Database
from cx.adapters.sqlite.deliveries import Deliveries, Delivery
from cx.adapters.sqlite.intent import Deployment, StepTaken, Store

__all__ = ["Database", "Deliveries", "Delivery", "Deployment", "StepTaken", "Store"]
