"""Placement: which engines announce a VIP, and which engines are there to do so. Pure: values in, values out."""
