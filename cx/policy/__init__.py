"""What a project's Compose model may ask for: an allow-list. The policy itself is the table in `cx.policy.table`."""

from cx.policy.admission import Admission, Admitted, admit, screen
from cx.policy.builds import BuildInput
from cx.policy.findings import Caps, Grants, Look

__all__ = ["Admission", "Admitted", "BuildInput", "Caps", "Grants", "Look", "admit", "screen"]
