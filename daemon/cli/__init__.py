"""The face: reads arguments, prints, sets exit codes; one file a group of verbs, no logic."""
