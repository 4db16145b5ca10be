//! From the messages of specs to the types of this module.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use prost::Message;

#[allow(unused_imports, reason = "the small builds have none of the changed specs")]
pub(crate) use super::mend::{Mend, Shape};
use super::{DecodeError, value::Value};
use crate::call::system_time;

/// Reads a message, after mending what older nodes write differently.
pub(crate) fn decode<M: Message + Default>(spec: &Bytes, shape: Option<&Shape>) -> Result<M, DecodeError> {
    let mended;
    let spec = match shape {
        None => spec,
        Some(shape) => {
            mended = shape.mend(spec);
            &mended
        }
    };
    M::decode(spec.clone()).map_err(DecodeError::new)
}

pub(crate) fn list<P, T>(
    raw: Vec<P>,
    convert: impl FnMut(P) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    raw.into_iter().map(convert).collect()
}

pub(crate) fn map<P, T>(
    raw: HashMap<String, P>,
    mut convert: impl FnMut(P) -> Result<T, DecodeError>,
) -> Result<BTreeMap<String, T>, DecodeError> {
    raw.into_iter()
        .map(|(key, value)| Ok((key, convert(value)?)))
        .collect()
}

pub(crate) fn time(raw: Option<prost_types::Timestamp>) -> Result<Option<SystemTime>, DecodeError> {
    Ok(system_time(raw))
}

pub(crate) fn duration(raw: Option<prost_types::Duration>) -> Result<Duration, DecodeError> {
    Duration::try_from(raw.unwrap_or_default()).map_err(|_| DecodeError::text("a duration is negative"))
}

pub(crate) fn value(raw: Option<prost_types::Struct>) -> Result<Value, DecodeError> {
    Ok(raw.map_or(Value::Null, Value::from))
}

pub(crate) fn value_of_list(raw: prost_types::Struct) -> Result<Value, DecodeError> {
    Ok(raw.into())
}

fn address(ip: &[u8]) -> Result<IpAddr, DecodeError> {
    if let Ok(v4) = <[u8; 4]>::try_from(ip) {
        return Ok(v4.into());
    }
    let v6 = <[u8; 16]>::try_from(ip);
    v6.map(Into::into)
        .map_err(|_| DecodeError::text("an address has neither 4 nor 16 bytes"))
}

fn port(number: i32) -> Result<u16, DecodeError> {
    number
        .try_into()
        .map_err(|_| DecodeError::text("a port is out of range"))
}

/// The wrappers of package `common`, which exists with the definitions that have some.
macro_rules! common {
    ($condition:meta => $($item:item)+) => {
        $(#[cfg($condition)] $item)+
    };
}

common! {
    any(feature = "def-cluster", feature = "def-etcd", feature = "def-k8s", feature = "def-kubespan", feature = "def-network", feature = "def-runtime", feature = "def-secrets") =>
    /// Empty stands for no address.
    pub(crate) fn ip(raw: Option<talos_proto::common::NetIp>) -> Result<Option<IpAddr>, DecodeError> {
        raw.filter(|raw| !raw.ip.is_empty()).map(ip_of_list).transpose()
    }
    pub(crate) fn ip_of_list(raw: talos_proto::common::NetIp) -> Result<IpAddr, DecodeError> {
        address(&raw.ip)
    }
}

common! {
    any(feature = "def-cluster", feature = "def-k8s", feature = "def-kubespan", feature = "def-network") =>
    /// Empty stands for no prefix.
    pub(crate) fn prefix(
        raw: Option<talos_proto::common::NetIpPrefix>,
    ) -> Result<Option<super::value::IpPrefix>, DecodeError> {
        raw.filter(|raw| !raw.ip.is_empty()).map(prefix_of_list).transpose()
    }
    pub(crate) fn prefix_of_list(
        raw: talos_proto::common::NetIpPrefix,
    ) -> Result<super::value::IpPrefix, DecodeError> {
        let length = raw.prefix_length.try_into().ok();
        length
            .and_then(|length| super::value::IpPrefix::new(address(&raw.ip).ok()?, length))
            .ok_or_else(|| DecodeError::text("a prefix is no address with a length that suits it"))
    }
}

common! {
    any(feature = "def-cluster", feature = "def-kubespan", feature = "def-network", feature = "def-siderolink") =>
    /// Empty stands for no address.
    pub(crate) fn socket(
        raw: Option<talos_proto::common::NetIpPort>,
    ) -> Result<Option<std::net::SocketAddr>, DecodeError> {
        raw.filter(|raw| !raw.ip.is_empty()).map(socket_of_list).transpose()
    }
    pub(crate) fn socket_of_list(raw: talos_proto::common::NetIpPort) -> Result<std::net::SocketAddr, DecodeError> {
        Ok(std::net::SocketAddr::new(address(&raw.ip)?, port(raw.port)?))
    }
}

common! {
    any(feature = "def-cri", feature = "def-secrets") =>
    pub(crate) fn certificate_and_key(
        raw: Option<talos_proto::common::PemEncodedCertificateAndKey>,
    ) -> Result<Option<super::value::CertificateAndKey>, DecodeError> {
        raw.map(|raw| {
            Ok(super::value::CertificateAndKey {
                certificate: pem(&raw.crt)?,
                key: pem(&raw.key)?.into(),
            })
        })
        .transpose()
    }
    fn pem(bytes: &[u8]) -> Result<String, DecodeError> {
        // Whatever is wrong with it, a key is not to show up in an error.
        let text = std::str::from_utf8(bytes).map(str::to_owned);
        text.map_err(|_| DecodeError::text("a certificate or key is no PEM"))
    }
}

common! {
    feature = "def-secrets" =>
    pub(crate) fn certificate(
        raw: talos_proto::common::PemEncodedCertificate,
    ) -> Result<String, DecodeError> {
        pem(&raw.crt)
    }
    pub(crate) fn key(
        raw: Option<talos_proto::common::PemEncodedKey>,
    ) -> Result<Option<crate::SecretString>, DecodeError> {
        raw.map(key_of_list).transpose()
    }
    pub(crate) fn key_of_list(
        raw: talos_proto::common::PemEncodedKey,
    ) -> Result<crate::SecretString, DecodeError> {
        Ok(pem(&raw.key)?.into())
    }
}

common! {
    feature = "def-time" =>
    pub(crate) fn offset(
        raw: Option<prost_types::Duration>,
    ) -> Result<super::value::TimeOffset, DecodeError> {
        Ok(raw.unwrap_or_default().into())
    }
}

common! {
    any(feature = "def-block", feature = "def-storage") =>
    pub(crate) fn expression(
        raw: Option<talos_proto::google::api::expr::v1alpha1::CheckedExpr>,
    ) -> Result<Option<super::value::Expression>, DecodeError> {
        Ok(raw.map(|raw| super::value::Expression::new(raw.encode_to_vec())))
    }
}

common! {
    any(feature = "def-runtime", feature = "def-secrets") =>
    pub(crate) fn url(raw: Option<talos_proto::common::Url>) -> Result<String, DecodeError> {
        Ok(raw.map(|raw| raw.full_path).unwrap_or_default())
    }
    pub(crate) fn url_of_list(raw: talos_proto::common::Url) -> Result<String, DecodeError> {
        Ok(raw.full_path)
    }
}
