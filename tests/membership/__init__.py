"""Engines that know each other: values, conclusions, heartbeats."""
