"""What waits: ready and parked items, senders and receivers, results and their handles."""
