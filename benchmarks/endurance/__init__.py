"""What must stay flat however long an agent runs: descriptors, threads, timers, objects, memory."""
