//! What the table of settings becomes: the groups, [`Config`](super::Config) with its defaults, the check of the ranges, the
//! builder's methods, and the flat form that serde reads and writes.

/// What a setting of this type is written as.
macro_rules! written {
    (Duration) => {
        Span
    };
    ($kind:ident) => {
        $kind
    };
}

/// A row is `name: type = default, in range, "unit"`; range and unit may be left out.
macro_rules! settings {
    ($($(#[doc = $about:literal])* $group:ident: $Group:ident {
        $($(#[doc = $doc:literal])* $name:ident: $kind:ident = $default:expr $(, in $range:expr)? $(, $unit:literal)?;)*
    })*) => {
        $(
            $(#[doc = $about])*
            #[derive(Debug, Clone, PartialEq)]
            #[non_exhaustive]
            pub struct $Group {
                $(
                    $(#[doc = $doc])*
                    #[doc = concat!("\n\nDefault: `", stringify!($default), "`" $(, ", of `", stringify!($range), "`")? $(, " ", $unit)?, ".")]
                    pub $name: $kind,
                )*
            }
        )*

        /// The settings of a node. [`Config::default`] is what a node on the legacy network uses; [`Config::builder`]
        /// changes it.
        ///
        /// serde writes and reads the settings by their names, without groups, durations as text such as `"90s"`. A
        /// setting that is left out has its default; one out of its range, or of no known name, is an error.
        #[derive(Debug, Clone, PartialEq, Deserialize)]
        #[serde(try_from = "ConfigBuilder")]
        #[non_exhaustive]
        pub struct Config {
            $($(#[doc = $about])* pub $group: $Group,)*
        }

        impl Config {
            /// The default of each setting.
            pub const DEFAULT: Self = Self { $($group: $Group { $($name: $default,)* },)* };

            /// Each setting against its own range.
            fn check_ranges(&self) -> Result<(), ConfigError> {
                $($($(within(stringify!($name), self.$group.$name, $range)?;)?)*)*
                Ok(())
            }
        }

        #[cfg(feature = "cli")]
        impl Config {
            /// The rows of the table, each with its value here.
            pub(crate) fn rows(&self) -> Vec<Row> {
                let mut rows = Vec::new();
                $(let group = concat!($($about),*);
                $(rows.push(Row {
                    group,
                    name: stringify!($name),
                    doc: concat!($($doc),*),
                    unit: None$(.or(Some($unit)))?,
                    range: None$(.or(Some({
                        let range: std::ops::RangeInclusive<$kind> = $range;
                        let (low, high) = range.into_inner();
                        (json::<written!($kind)>(low), json::<written!($kind)>(high))
                    })))?,
                    default: json::<written!($kind)>(Self::DEFAULT.$group.$name),
                    value: json::<written!($kind)>(Clone::clone(&self.$group.$name)),
                });)*)*
                rows
            }
        }

        impl ConfigBuilder {
            $($(
                #[doc = concat!("Sets [`", stringify!($name), "`](", stringify!($Group), "::", stringify!($name), ").")]
                pub fn $name(mut self, value: $kind) -> Self {
                    self.set_cache_ttl |= stringify!($name) == "min_cache_ttl";
                    self.config.$group.$name = value;
                    self
                }
            )*)*
        }

        /// The name of a setting.
        #[derive(Deserialize)]
        #[serde(field_identifier)]
        #[allow(non_camel_case_types, reason = "they are the names")]
        enum Name {
            $($($name,)*)*
        }

        impl Serialize for Config {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some([$($(stringify!($name),)*)*].len()))?;
                $($(map.serialize_entry(stringify!($name), &<written!($kind)>::from(Clone::clone(&self.$group.$name)))?;)*)*
                map.end()
            }
        }

        impl<'de> Visitor<'de> for ConfigBuilder {
            type Value = Self;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("settings by their names")
            }

            fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
                while let Some(name) = map.next_key()? {
                    self = match name {
                        $($(Name::$name => self.$name(map.next_value::<written!($kind)>()?.into()),)*)*
                    };
                }
                Ok(self)
            }
        }
    };
}

pub(super) use {settings, written};
