"""What does a batch of the present recipe cost? As the theory of the core counts it."""

from core.theory.accounts import accounts as accounts
