"""What can be said of records before anything is sent: every fault of every record, in constant memory, without a network."""
