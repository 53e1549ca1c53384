"""What starts the contenders, gathers their figures, compares them and writes the report."""
