"""Knows the trade: pictures, datasets, models and graphs; pure, and imports core only."""
