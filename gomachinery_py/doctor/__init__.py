"""What is wrong with a fleet, and what to do about it, without writing anything.

``look`` modules read, by coroutines over the broker's port; the others judge what was read, and are pure.
"""

from gomachinery_py.doctor.examine import examine
from gomachinery_py.doctor.findings import PROBLEM, WARNING, Finding, Fleet, Report, Side, counted

__all__ = ["PROBLEM", "WARNING", "Finding", "Fleet", "Report", "Side", "counted", "examine"]
