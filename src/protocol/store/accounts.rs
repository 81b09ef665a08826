//! What each source has brought, and which of them fills most.

use std::collections::HashMap;

use super::order::Order;
use super::outcome::ClassCount;
use super::slots::{Slot, Slots};
use crate::protocol::peer::Subnet;

/// What one subnet has brought, and what is reserved for it.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) total: ClassCount,
    /// Of that, its cached copies.
    pub(super) cached: ClassCount,
    /// Its full copies, the oldest first.
    pub(super) by_age: Order,
    /// Its cached copies, the one that ends soonest first.
    pub(super) by_expiry: Order,
}

impl Account {
    /// The order in which its full copies give way, or its cached ones.
    pub(super) fn order(&mut self, full: bool) -> &mut Order {
        if full { &mut self.by_age } else { &mut self.by_expiry }
    }
}

/// The accounts of all sources that have any copy or reservation.
#[derive(Debug)]
pub(super) struct Accounts {
    /// What all of them together may fill.
    limit: ClassCount,
    by_subnet: HashMap<Subnet, Slot>,
    accounts: Slots<Account>,
    /// By what they fill, the largest last. It is left open which comes first of those that fill the same.
    ranking: Order,
}

impl Accounts {
    pub(super) fn new(limit: ClassCount) -> Self {
        Self { limit, by_subnet: HashMap::new(), accounts: Slots::default(), ranking: Order::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.by_subnet.len()
    }

    pub(super) fn get(&self, subnet: &Subnet) -> Option<&Account> {
        self.accounts.get(*self.by_subnet.get(subnet)?)
    }

    pub(super) fn get_mut(&mut self, subnet: &Subnet) -> Option<&mut Account> {
        self.accounts.get_mut(*self.by_subnet.get(subnet)?)
    }

    /// Changes what an account fills, and so its place in the ranking. It begins with the first copy or reservation,
    /// and ends with the last.
    pub(super) fn change(&mut self, subnet: Subnet, change: impl FnOnce(&mut Account)) {
        let Self { limit, by_subnet, accounts, ranking } = self;
        let slot = *by_subnet.entry(subnet).or_insert_with(|| accounts.insert(Account::default()));
        let account = accounts.get_mut(slot).expect("it is there, or was put there");
        let rank = |account: &Account| (account.total.values > 0).then(|| weight(limit, &account.total));
        let before = rank(account);
        change(account);
        let after = rank(account);
        if before != after {
            if let Some(rank) = before {
                ranking.remove(rank, slot);
            }
            if let Some(rank) = after {
                ranking.insert(rank, slot);
            }
        }
        if after.is_none() {
            by_subnet.remove(&subnet);
            accounts.remove(slot);
        }
    }

    /// The accounts that fill most, the largest first.
    pub(super) fn largest(&self) -> impl Iterator<Item = &Account> {
        self.ranking.iter().rev().filter_map(|(_, slot)| self.accounts.get(slot))
    }

    /// Whether `account` fills as much as the one that fills most.
    pub(super) fn is_largest(&self, account: &Account) -> bool {
        self.ranking.last().is_some_and(|(most, _)| weight(&self.limit, &account.total) == most)
    }

    /// All accounts, with their subnets.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Subnet, &Account)> {
        self.by_subnet.iter().map(|(subnet, slot)| (subnet, self.accounts.get(*slot).expect("each has an account")))
    }

    /// The ranking: what each fills, and how it is ranked.
    #[cfg(test)]
    pub(super) fn ranking(&self) -> impl Iterator<Item = (u64, ClassCount)> {
        self.ranking.iter().map(|(rank, slot)| (rank, self.accounts.get(slot).expect("each has an account").total))
    }
}

/// What part of the store `count` fills, by values or by bytes, whichever is more: comparable, without unit.
fn weight(limit: &ClassCount, count: &ClassCount) -> u64 {
    let product = |a: usize, b: usize| a as f64 * b as f64;
    // Of numbers that are not negative the bits are in the order of the numbers.
    product(count.values, limit.bytes).max(product(count.bytes, limit.values)).to_bits()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_largest_comes_first_and_an_account_without_copies_is_gone(changes in prop::collection::vec((0u8..9, 0usize..5, 0usize..90), 0..100)) {
            let limit = ClassCount { values: 10, bytes: 200 };
            let (mut accounts, mut model) = (Accounts::new(limit), BTreeMap::new());
            for (subnet, values, bytes) in changes {
                let total = ClassCount { values, bytes };
                accounts.change(Subnet::V4([subnet; 3]), |account| account.total = total);
                if values == 0 {
                    model.remove(&subnet);
                } else {
                    model.insert(subnet, total);
                }
                let fills = |total: &ClassCount| (total.values * limit.bytes).max(total.bytes * limit.values);
                let mut expected: Vec<usize> = model.values().map(fills).collect();
                expected.sort_unstable_by(|a, b| b.cmp(a));
                prop_assert!(accounts.largest().map(|account| fills(&account.total)).eq(expected.iter().copied()));
                prop_assert_eq!((accounts.len(), accounts.by_subnet.len()), (model.len(), model.len()));
                for subnet in 0..9 {
                    let account = accounts.get(&Subnet::V4([subnet; 3]));
                    prop_assert_eq!(account.map(|account| account.total), model.get(&subnet).copied());
                    prop_assert!(account.is_none_or(|account| accounts.is_largest(account) == (fills(&account.total) == expected[0])));
                }
            }
        }
    }
}
