"""One operator a stage. Import each from its own module; this package imports nothing."""
