"""What a project's Compose model may ask for: an allow-list. `table` is the policy itself."""

from cx.project.policy.admission import Admission, Admitted, admit, screen
from cx.project.policy.builds import BuildInput
from cx.project.policy.findings import Caps, Grants, Look

__all__ = ["Admission", "Admitted", "BuildInput", "Caps", "Grants", "Look", "admit", "screen"]
