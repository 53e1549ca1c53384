"""What errors and log lines show: texts made safe, tracebacks of user code, suggestions."""
