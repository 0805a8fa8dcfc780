"""Many video files in segments that any worker can do: killed work is done again, and outputs are the same bytes."""
