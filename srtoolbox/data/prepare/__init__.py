"""Data made ready: conversion to LMDB, splits, unpacking."""
