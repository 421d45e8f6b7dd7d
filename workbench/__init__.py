"""The workbench: what a user sees and does."""
