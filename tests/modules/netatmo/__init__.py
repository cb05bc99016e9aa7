"""Tests of the module `netatmo`."""
