"""The workbench: containers and volumes in which goldens are made and clones live."""
