"""Where the tasks of a stage run: on the event loop, or in threads of the stage."""
