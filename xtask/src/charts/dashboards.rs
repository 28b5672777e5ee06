//! The Grafana dashboards of the operator's chart: tables of panels here, JSON for Grafana there.

mod brokers;
mod groups;
mod operator;
mod overview;
mod tiering;
mod topics;

use serde_json::{Value, json};

/// All dashboards, in the order of their links.
const BOARDS: &[&Board] = &[
    &overview::BOARD,
    &brokers::BOARD,
    &topics::BOARD,
    &groups::BOARD,
    &tiering::BOARD,
    &operator::BOARD,
];

/// One dashboard.
struct Board {
    /// The file's name, and with `freshet-` before it the dashboard's id.
    name: &'static str,
    title: &'static str,
    about: &'static str,
    /// What `@` stands for in queries: the label matchers of what the variables choose.
    chosen: &'static str,
    variables: &'static [Variable],
    rows: &'static [Row],
}

/// What a person chooses above the panels.
struct Variable {
    name: &'static str,
    title: &'static str,
    /// The query whose label values there are to choose from.
    from: &'static str,
    label: &'static str,
    many: bool,
}

/// Panels below a heading.
struct Row {
    title: &'static str,
    panels: &'static [Panel],
}

/// One panel.
struct Panel {
    title: &'static str,
    about: &'static str,
    unit: &'static str,
    show: Show,
    /// Queries and their legends.
    queries: &'static [(&'static str, &'static str)],
}

/// How a panel looks.
#[derive(Clone, Copy)]
enum Show {
    /// One number.
    Number,
    /// One number that should be 0.
    Zero,
    /// Lines over time.
    Lines,
    /// Areas on top of each other.
    Stack,
    /// The latest values, one line each.
    Table,
}

impl Show {
    /// Width and height; a dashboard is 24 wide.
    fn size(self) -> (u32, u32) {
        match self {
            Self::Number | Self::Zero => (4, 4),
            Self::Lines | Self::Stack => (8, 8),
            Self::Table => (24, 9),
        }
    }

    fn panel_type(self) -> &'static str {
        match self {
            Self::Number | Self::Zero => "stat",
            Self::Lines | Self::Stack => "timeseries",
            Self::Table => "table",
        }
    }
}

const WIDE: u32 = 24;
const SOURCE: &str = "${datasource}";

/// Each dashboard's file name and text.
pub(super) fn files() -> Vec<(String, String)> {
    let file = |board: &&Board| {
        let text = serde_json::to_string_pretty(&board.json()).expect("a dashboard is JSON");
        (format!("{}.json", board.name), text + "\n")
    };
    BOARDS.iter().map(file).collect()
}

impl Board {
    fn json(&self) -> Value {
        json!({
            "uid": format!("freshet-{}", self.name),
            "title": self.title,
            "description": self.about,
            "tags": ["freshet"],
            "editable": true,
            "graphTooltip": 1,
            "schemaVersion": 39,
            "version": 1,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "",
            "annotations": {"list": []},
            "links": [{
                "type": "dashboards", "title": "Freshet", "tags": ["freshet"], "asDropdown": true,
                "includeVars": true, "keepTime": true, "targetBlank": false, "icon": "external link",
                "tooltip": "", "url": "",
            }],
            "templating": {"list": self.templating()},
            "panels": self.panels(),
        })
    }

    fn templating(&self) -> Vec<Value> {
        let source = json!({
            "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
            "refresh": 1, "hide": 0, "includeAll": false, "multi": false, "options": [], "regex": "",
        });
        let chosen = self.variables.iter().map(Variable::json);
        std::iter::once(source).chain(chosen).collect()
    }

    fn panels(&self) -> Vec<Value> {
        let mut made = Vec::new();
        let mut top = 0;
        for row in self.rows {
            made.push(json!({
                "id": made.len() + 1, "type": "row", "title": row.title, "collapsed": false,
                "gridPos": {"x": 0, "y": top, "w": WIDE, "h": 1}, "panels": [],
            }));
            top += 1;
            let (mut left, mut height) = (0, 0);
            for panel in row.panels {
                let (wide, high) = panel.show.size();
                if left + wide > WIDE {
                    (left, top, height) = (0, top + height, 0);
                }
                let at = json!({"x": left, "y": top, "w": wide, "h": high});
                made.push(panel.json(made.len() + 1, at, self.chosen));
                left += wide;
                height = height.max(high);
            }
            top += height;
        }
        made
    }
}

impl Variable {
    fn json(&self) -> Value {
        let query = format!("label_values({}, {})", self.from, self.label);
        let mut json = json!({
            "name": self.name, "label": self.title, "type": "query",
            "datasource": {"type": "prometheus", "uid": SOURCE},
            "definition": query, "query": query,
            "refresh": 2, "sort": 1, "hide": 0, "regex": "", "options": [],
            "includeAll": self.many, "multi": self.many,
        });
        // Without a choice Grafana takes the first one.
        if self.many {
            json["allValue"] = json!(".*");
            json["current"] = json!({"text": "All", "value": "$__all"});
        }
        json
    }
}

impl Panel {
    fn json(&self, id: usize, at: Value, chosen: &str) -> Value {
        let instant = !matches!(self.show, Show::Lines | Show::Stack);
        let target = |(at, (query, legend)): (usize, &(&str, &str))| {
            let letter = char::from(b'A' + u8::try_from(at).expect("few queries"));
            json!({
                "refId": letter.to_string(),
                "datasource": {"type": "prometheus", "uid": SOURCE},
                "expr": query.replace('@', chosen),
                "legendFormat": legend,
                "format": if matches!(self.show, Show::Table) { "table" } else { "time_series" },
                "instant": instant, "range": !instant, "editorMode": "code",
            })
        };
        let targets: Vec<Value> = self.queries.iter().enumerate().map(target).collect();
        let mut panel = json!({
            "id": id, "type": self.show.panel_type(), "title": self.title, "description": self.about,
            "gridPos": at, "datasource": {"type": "prometheus", "uid": SOURCE}, "targets": targets,
            "fieldConfig": {"defaults": self.field(), "overrides": []},
            "options": self.options(),
        });
        if matches!(self.show, Show::Table) {
            panel["transformations"] = json!([{
                "id": "organize",
                "options": {"excludeByName": {"Time": true}, "indexByName": {}, "renameByName": {}},
            }]);
        }
        panel
    }

    fn field(&self) -> Value {
        let steps = match self.show {
            Show::Zero => json!([{"color": "green", "value": null}, {"color": "red", "value": 1}]),
            _ => json!([{"color": "blue", "value": null}]),
        };
        let mut field = json!({
            "unit": self.unit, "thresholds": {"mode": "absolute", "steps": steps}, "min": 0,
        });
        match self.show {
            Show::Lines | Show::Stack => {
                let stacked = matches!(self.show, Show::Stack);
                field["color"] = json!({"mode": "palette-classic"});
                field["custom"] = json!({
                    "drawStyle": "line", "lineWidth": 1, "fillOpacity": if stacked { 30 } else { 5 },
                    "showPoints": "never", "spanNulls": false,
                    "stacking": {"mode": if stacked { "normal" } else { "none" }, "group": "A"},
                });
            }
            _ => field["color"] = json!({"mode": "thresholds"}),
        }
        field
    }

    fn options(&self) -> Value {
        match self.show {
            Show::Number | Show::Zero => json!({
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
                "colorMode": "value", "graphMode": "none", "textMode": "auto", "justifyMode": "auto",
                "orientation": "auto", "showPercentChange": false, "wideLayout": true,
                "percentChangeColorMode": "standard",
            }),
            Show::Lines | Show::Stack => json!({
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
            Show::Table => json!({
                "showHeader": true, "cellHeight": "sm", "frameIndex": 0,
                "sortBy": [{"displayName": "Value", "desc": true}],
            }),
        }
    }
}

/// The variables that choose a cluster.
const NAMESPACE: Variable = Variable {
    name: "namespace",
    title: "Namespace",
    from: "freshet_active_brokers",
    label: "namespace",
    many: false,
};
const CLUSTER: Variable = Variable {
    name: "cluster",
    title: "Cluster",
    from: "freshet_active_brokers{namespace=\"$namespace\"}",
    label: "freshet_dev_cluster",
    many: false,
};
/// The matchers that follow from them.
const OF_CLUSTER: &str = "namespace=\"$namespace\",freshet_dev_cluster=\"$cluster\"";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn panels() -> impl Iterator<Item = (&'static str, &'static Panel)> {
        let of = |board: &&'static Board| {
            let panels = board.rows.iter().flat_map(|row| row.panels);
            let name = board.name;
            panels.map(move |panel| (name, panel))
        };
        BOARDS.iter().flat_map(of)
    }

    #[test]
    fn every_panel_says_what_it_shows() {
        for (board, panel) in panels() {
            assert!(panel.about.ends_with('.'), "{board}: {}", panel.title);
            assert!(!panel.queries.is_empty(), "{board}: {}", panel.title);
        }
        let titles: BTreeSet<_> = panels().map(|(b, p)| (b, p.title)).collect();
        assert_eq!(titles.len(), panels().count(), "each title once");
    }

    #[test]
    fn every_query_asks_for_what_is_chosen() {
        for (board, panel) in panels() {
            for (query, _) in panel.queries {
                let of = |start: &str| query.split(start).skip(1).collect::<Vec<&str>>();
                let metrics = [of("freshet_"), of("process_")].concat();
                // A label of that name within written-out matchers is no metric.
                for rest in metrics.into_iter().filter(|rest| !rest.starts_with("dev_")) {
                    let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
                    let matchers = rest.trim_start_matches(is_name);
                    let chosen = ["{@", "{namespace=\"$namespace\""];
                    let chosen = chosen.iter().any(|start| matchers.starts_with(start));
                    assert!(chosen, "{board}: {query}");
                }
            }
        }
    }

    /// What `dashboard`, `stat` and `table` of Grafana's published schemas require (the JSON Schemas of
    /// grafana-foundation-sdk), as far as it is not plain from the code above.
    #[test]
    fn what_grafana_requires_is_there() {
        let required: &[(&str, &[&str])] = &[
            (
                "stat",
                &["showPercentChange", "wideLayout", "percentChangeColorMode"],
            ),
            ("table", &["frameIndex", "showHeader"]),
        ];
        for board in BOARDS {
            let json = board.json();
            for variable in json["templating"]["list"].as_array().expect("variables") {
                let fields = variable.as_object().expect("an object");
                assert!(fields.values().all(|field| !field.is_null()), "{variable}");
                assert!(variable["query"].is_string(), "{variable}");
                let current = fields.get("current");
                assert!(
                    current.is_none_or(|it| it["value"].is_string()),
                    "{variable}"
                );
            }
            for panel in json["panels"].as_array().expect("panels") {
                let of_type = required.iter().find(|(kind, _)| panel["type"] == *kind);
                for option in of_type.into_iter().flat_map(|(_, options)| *options) {
                    assert!(panel["options"].get(option).is_some(), "{option}: {panel}");
                }
            }
        }
    }

    #[test]
    fn panels_do_not_overlap() {
        for board in BOARDS {
            let json = board.json();
            let mut taken = BTreeSet::new();
            for panel in json["panels"].as_array().expect("panels") {
                let at = |name: &str| panel["gridPos"][name].as_u64().expect("a number");
                for x in at("x")..at("x") + at("w") {
                    for y in at("y")..at("y") + at("h") {
                        assert!(x < 24 && taken.insert((x, y)), "{}: {panel}", board.name);
                    }
                }
            }
        }
    }
}
