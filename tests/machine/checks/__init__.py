"""The checks, a module a stage: functions that raise when a promise does not hold, in the order of CHECKS."""
