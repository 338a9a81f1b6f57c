"""DUT-OMRON."""
