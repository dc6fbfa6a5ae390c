enum HopPlaceholder {}
