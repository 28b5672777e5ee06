//! Every setting, declared once: name, unit, default, range, scope and doc.
