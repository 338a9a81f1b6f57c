"""The paper's network (§3.1 to §3.3)."""
