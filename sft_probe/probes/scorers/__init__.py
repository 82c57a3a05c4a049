"""How an answer is judged, by the kind of task it answers. No probes: probes share these."""
